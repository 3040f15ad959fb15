"""Pictures and PDFs as pages: `document.open_document`. `kinds` alone needs no imaging library."""
