"""What Python code is offered: the functions that `atts` exports, made of the same parts as the commands."""
