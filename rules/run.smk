# What comes before a run, and what follows it, however it ended.


def end_run():
    """Clear away what killed writers left, and say which fields were skipped."""
    clear_leftovers(PATHS.results)
    for line in skipped(PATHS.skipped, FIELDS.used):
        logger.warning(line)


onstart:
    check_writable(PATHS.results)


onsuccess:
    write_record(PATHS.last_run, CONFIG, CODE)
    end_run()


onerror:
    end_run()
    for line in killed(log):
        logger.error(line)
