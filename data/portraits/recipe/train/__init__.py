"""The training of the generator and of the segmenters on drawn portraits; able to go on after a kill."""
