function t(e,r="",o=""){let n=document.createElement(e);return[n.textContent,n.className]=[r,o],n}var a=e=>e.toLocaleString("en");export{t as a,a as b};
