"""Pages: what a run did, in one file of HTML that needs no network and no script."""
