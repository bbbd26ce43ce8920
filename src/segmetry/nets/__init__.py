"""Networks: torch lives here and in `train`."""
