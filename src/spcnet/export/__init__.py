"""Networks as files for other programs: ONNX."""
