"""Every decision of the program: snapshot in, plan or verdict out; pure, no I/O, no clock."""
