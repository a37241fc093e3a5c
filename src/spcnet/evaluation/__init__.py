"""How good a model, a file of predictions or a finder is: scores, calibration, overlap of data."""
