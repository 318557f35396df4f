"""The picture of a deployment's life: what is read, how it is scaled, drawn and set as one page."""
