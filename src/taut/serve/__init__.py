"""deployment -> prediction: a server answers requests and writes down what it said."""
