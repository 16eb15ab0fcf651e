"""Runtimes: an encoder's network run by torch, OpenVINO or ONNX Runtime, in float32 or as int8."""
