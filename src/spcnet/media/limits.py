"""What is read of pictures at most. Imports nothing, so that the commands' help can tell it."""

MAX_PIXELS = 178_000_000  # Pillow refuses twice its MAX_IMAGE_PIXELS, 178.9 million
