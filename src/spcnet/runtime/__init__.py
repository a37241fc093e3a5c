"""What runs a network: torch, plain or fused, onnxruntime, OpenVINO."""
