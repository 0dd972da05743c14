"""What came of a training, in numbers, and the catalog and settings that are shipped with it."""
