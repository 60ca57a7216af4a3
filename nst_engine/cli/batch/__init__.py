"""Many pictures: a list of jobs (`jobs`, `tables`), a worker that keeps network and styles loaded (`worker`), what is
done already (`resume`), and ways to share out the list: this process, several devices, hosts, a cluster."""
