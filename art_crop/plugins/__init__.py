"""Named models, attacks, metrics and datasets: records of where they live, and the way from a name to one."""
