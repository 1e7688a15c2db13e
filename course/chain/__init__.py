"""What one notebook makes and the next one takes: kept on the disk, made by one command, talked to."""
