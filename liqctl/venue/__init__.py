"""The venue behind the port: ccxt as signer and sender, and everything it must not decide."""
