"""How good predictions are: measured once labels arrive, estimated before."""
