"""The page that makes another quantization of a variant."""
