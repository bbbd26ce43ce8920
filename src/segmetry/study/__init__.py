"""Studies: what a threshold, more training images, or a setting of a network would bring."""
