# What comes before a run, and what follows it, however it ended.


def take_inventory():
    """Note down what lies in the results folder, for copies of it."""
    try:
        note_down(PATHS, PLACES)
    except MachineError as error:
        logger.warning(
            f"copies of {PATHS.results} will be planned by their times: {error}"
        )


def end_run():
    """Clear away what killed writers left, and say which fields were skipped."""
    clear_leftovers(PATHS.results)
    take_inventory()
    for line in skipped(PATHS.skipped, FIELDS.used):
        logger.warning(line)


onstart:
    check_writable(PATHS.results)
    take_inventory()  # of what a killed run left, before more is made


onsuccess:
    write_record(PATHS.last_run, CONFIG, CODE)
    end_run()


onerror:
    end_run()
    for line in killed(log):
        logger.error(line)
