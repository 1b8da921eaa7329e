# The start and the end of a run.


include: "audit.smk"


def audits():
    """Return whether the audit is the target; an error where it is one of several.

    Snakemake knows the targets only after it has read the rules.
    """
    asked = sorted(map(str, workflow.dag_settings.targets))
    named = [target for target in asked if target.endswith("audit")]
    if named and named != asked:
        raise WorkflowError(
            f"audit must be the only target, got {', '.join(asked)}; "
            "type the others first, and then snakemake audit"
        )
    if named and (COPIES is not None or is_address(CUBE)):
        raise WorkflowError(
            "audit must have cubes and results on this machine, got some on an object store; "
            "copy both here, and name the cubes in paths.datacube_template"
        )
    return bool(named)


def take_inventory():
    """Update the inventory of the results folder, which a copy of the folder needs."""
    if COPIES is not None:
        return
    try:
        update_inventory(PATHS, PLACES)
    except MachineError as error:
        logger.warning(
            f"a copy of {PATHS.results} will be planned by file times: {error}"
        )


def end_run():
    """Delete temporary files of killed jobs, and log what was skipped."""
    clear_leftovers(PATHS.results)
    if not audits():
        take_inventory()
    for line in (
        *skipped(PATHS.skipped, FIELDS.used),
        *(left_out(PATHS) if SOURCES else ()),
    ):
        logger.warning(line)


onstart:
    check_writable(PATHS.results)
    if not audits():
        take_inventory()  # a killed run may have left it out of date


onsuccess:
    if not audits():
        write_record(PATHS.last_run, CONFIG, CODE, FIELDS)
    end_run()


onerror:
    end_run()
    for line in killed(log):
        logger.error(line)
