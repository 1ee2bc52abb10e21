"""What a stranger's ONNX graph is held to before it runs; may import errors alone."""
