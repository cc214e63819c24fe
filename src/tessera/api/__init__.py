"""HTTP in, HTTP out: parse, call one thing, render."""
