"""The methods compared: plain training, DALE and its ablations, and what else a researcher would try."""
