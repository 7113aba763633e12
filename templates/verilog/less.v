// y = a < b. W: bits, S: signed.
module crystal_less #(
    parameter WA = 1, parameter SA = 0, parameter WB = 1, parameter SB = 0
) (
    input  wire [WA-1:0] a,
    input  wire [WB-1:0] b,
    output wire y
);
    localparam W = (WA > WB) ? WA : WB;
    wire signed [W:0] p = {{(W+1-WA){(SA != 0) & a[WA-1]}}, a};
    wire signed [W:0] q = {{(W+1-WB){(SB != 0) & b[WB-1]}}, b};
    assign y = p < q;
endmodule
