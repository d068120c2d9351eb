"""`python -m liqctl` is `liqctl`."""

from liqctl.cli.app import main

if __name__ == "__main__":
    main()
