"""Learning of codecs (needs the extra ``learn``: torch, lightning, onnx)."""
