"""Runs of images in Parquet and files of codes; may import stores and the codec's packets."""
