"""What everything else stands on: errors, cancelling, progress, files, locks, ranks, the device. Standard tools only."""
