"""What everything else uses: errors, cancelling, progress, files, locks, ranks, the device. Standard tools only."""
