# What follows a run, however it ended.


onsuccess:
    write_record(PATHS.last_run, CONFIG, CODE)
    clear_leftovers(PATHS.results)


onerror:
    clear_leftovers(PATHS.results)
