"""Section of the report: embeddings, their map, offsets between fields, nearest neighbours."""
