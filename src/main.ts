console.log("weir");
