"""From a layer in its place to a function of its operands: in integers where they and the output are."""
