"""Side room: other people's files, read and written."""
