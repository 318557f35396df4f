"""A model as a graph of operators in float64, and the proof that the two answer alike."""
