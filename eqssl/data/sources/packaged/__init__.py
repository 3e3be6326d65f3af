"""Images that come inside other packages, cut into patches."""
