"""Pictures, crops, videos, cameras and folders: what comes in and goes out."""
