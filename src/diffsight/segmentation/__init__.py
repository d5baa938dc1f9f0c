"""Cutting a photo into its parts: self-attention maps in, label maps out."""
