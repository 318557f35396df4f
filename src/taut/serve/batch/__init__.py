"""Files -> predictions: a model version over data of any size, on all cores, each row once."""
