"""What every part uses: files, 8-bit pixels, figures, checkpoints.  Nothing here knows what a mixture is."""
