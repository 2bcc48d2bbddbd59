"""The steps of the workflows, one module for each kind; ports come in through the constructor."""
