#!/bin/sh
# properties = {properties}
# Grid Engine announces the end of a job's time by SIGUSR1: a training saves, and nothing else ends by it.
trap '' USR1 USR2
record=.snakemake/gridengine/$JOB_ID
rm -f "$record"
( {exec_job} )
status=$?
echo $status > "$record.part" && mv "$record.part" "$record"
exit $status
