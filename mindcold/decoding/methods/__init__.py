"""The searches of the methods, one generator a file."""
