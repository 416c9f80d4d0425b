"""The formats in which other systems export memories."""
