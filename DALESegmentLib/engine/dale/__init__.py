"""DALE: disagreement, partition, label confidence, alternation, alignment. Tensors in, tensors out."""
