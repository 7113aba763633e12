// y = floor(a / 2**SHIFT), clipped to the range of y. W: bits, S: signed.
module crystal_saturate #(
    parameter WA = 1, parameter SA = 0, parameter SHIFT = 0, parameter WY = 1, parameter SY = 0
) (
    input  wire [WA-1:0] a,
    output wire [WY-1:0] y
);
    localparam W = WA + WY;
    localparam SIGN = (SY != 0) ? WY - 1 : WY;
    wire negative = (SA != 0) & a[WA-1];
    wire [W-1:0] shifted = {{WY{negative}}, a[WA-1:0]} >> SHIFT;
    wire [W-1:0] wide = shifted | ({W{negative}} & ~({W{1'b1}} >> SHIFT));
    wire over = ~negative & (|wide[W-1:SIGN]);
    wire under = negative & ((SY == 0) | ~(&wide[W-1:SIGN]));
    wire [WY-1:0] most = {WY{1'b1}} >> (SY != 0);
    assign y = over ? most : under ? ((SY != 0) ? ~most : {WY{1'b0}}) : wide[WY-1:0];
endmodule
