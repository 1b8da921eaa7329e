"""What every job starts with: settings, logging, threads, seeds and the device."""
