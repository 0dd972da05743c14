"""Portraits as vector drawings, with a mask of their parts: seeds → images and masks of any resolution."""
