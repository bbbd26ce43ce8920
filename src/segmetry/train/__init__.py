"""Training: labelled images in, model folders out. Torch lives here and in `nets`."""
